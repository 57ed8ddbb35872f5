"""`syncd sample-config`: configurations to begin with."""

from importlib.resources import files

import click

from syncd.cli.options import config_option


@click.command("sample-config")
@config_option
@click.option("--simple", is_flag=True, help="The smallest configuration that works.")
@click.option("--schema", is_flag=True, help="The JSON Schema of the configuration, for editors.")
def command(config: str | None = None, simple: bool = False, schema: bool = False) -> None:  # noqa: ARG001 - see version
    """Print a configuration in which every key is explained."""
    if schema:
        import json

        from syncd.config.models import schema as schema_of_models

        click.echo(json.dumps(schema_of_models(), indent=2))
    else:
        name = "simple.json" if simple else "example.json"
        click.echo(files("syncd.config").joinpath(name).read_text(encoding="utf-8"), nl=False)
