"""``python -m presrm`` is ``presrm``."""

from presrm.cli import main

main()
