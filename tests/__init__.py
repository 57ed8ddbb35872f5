"""Everything that is tested. Daemons, which are started by the hundred, find their modules compiled, whatever the
environment says of that."""

import os

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
