"""What the fork server does once for all runs: compose, and leave to the collector what comes new.

Whatever a fork of it touches is copied, a page at a time; a collection touches everything.
"""

from __future__ import annotations

import gc

from tests.given import composed

composed("experiment=smoke", "controller=random")
gc.collect()
gc.freeze()
