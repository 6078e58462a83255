"""What starts work: Prefect flows, deployments, automations, and the command line.

Whatever starts here, and every process that it starts, makes files for its owner only.
"""

import os

os.umask(0o077)
