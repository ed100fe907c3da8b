"""Trust under bad luck: hostile files, killed runs, full disks. docs/reliability.md says what was tried.

Long forms are commands (`python -m tests.reliability.bad_input`, `… .faults`, `… .page_load`), short forms
are the tests beside them. Rooms: `seeds` good files · `mutations*` what is done to them · `crafted`
files made to hurt · `readers` what reads them, and the contract · `worker`, `watched` one process that reads,
one that watches it · `killed*` runs that are stopped and started again · `load`, `uploads`
and their like the page under load.
"""
