"""Training: ONE loop for all losses; what it minimises, draws from, saves to and tells are arguments.

Rooms: `session` from the call to the last epoch · `loop` epochs and batches · `gradients` of tuples, which
`reader` reads and `trunk` turns into maps · `step` forward, backward and the original's SGD · `state` what is
saved, and read again · `request` what was asked for · `options` the 42, `speed` those beside them · `measure`
tests · `together` several processes · `events`, `console`, `tensorboard` who listens.
"""
