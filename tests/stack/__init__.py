"""The deployment of docs/DEPLOYMENT.md with the real programs: Docker, MariaDB, WordPress, nginx, PHP, HAProxy."""
