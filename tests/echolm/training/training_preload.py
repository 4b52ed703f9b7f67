"""What the fork server of the training tests imports first: imports make no garbage."""

from echolm.garbage import look_for_garbage_seldom

look_for_garbage_seldom()
