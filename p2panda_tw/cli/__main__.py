"""
C{python -m p2panda_tw.cli} is C{p2panda}.
"""

from p2panda_tw.cli import main

main()
