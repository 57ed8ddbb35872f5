"""One question per module, each runnable alone: `python -m benchmarks.NAME`.

What is measured has its modules compiled, as an installed syncd has, whatever the environment says of that.
"""

import os

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
