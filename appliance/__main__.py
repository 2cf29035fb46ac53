"""`python -m appliance`: hands over to the command line."""

import sys

from appliance.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
