"""Start Skysieve: ``python launch.py [SURVEY]``, or ``panel serve launch.py --args SURVEY``, which does the same.

Without a survey it opens the demo: a simulated one, made on the first start. ``python launch.py --help`` lists the
options.
"""

import sys

from app.serve import main, served

if __name__ == "__main__":
    sys.exit(main())
elif __name__.startswith("bokeh_app"):  # this is how Panel names the script it serves
    served(sys.argv[1:]).servable()
