"""The local ``pysparkkernel``: a Jupyter kernel that does what sparkmagic over Livy does, no more.

On Amazon EMR a notebook's cells run in a Spark driver far from the page, and the kernel that
sends them there is called ``pysparkkernel``. This package is a kernel of the same name for one
machine. A notebook that runs here runs there unchanged.

Alike: a cell shows printed text, its last expression as text and, with ``%matplot plt``, the
current figure. ``spark`` and ``sc`` are there. ``%%local``, ``%%configure`` and ``%%info`` work.
IPython's own magics, ``display``, ``!`` and HTML do not.

Different on purpose: Spark starts at the first use of ``spark`` or ``sc``, not with the first
cell. Text appears while a cell runs. A failing cell is an error, not a line of text. A cell whose
text Livy would lose says so. ``%%local`` is plain Python, without IPython. sparkmagic's other
magics (``%%sql``, ``%%spark``, ``%%logs``, ``%%pretty``, ``%%send_to_spark``, ``%%cleanup``,
``%%delete``) are refused. ``asyncio.run`` fails, since Jupyter's own loop runs below a cell.

IPython's kernel does not run the cells: it would have to be kept from its magics, its names, its
builtins and its display, and it shows no error for an exception group.
"""
