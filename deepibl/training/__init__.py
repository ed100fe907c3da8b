"""Training: ONE loop for all losses; what it minimises, draws from, saves to and tells are arguments.

Rooms: `session` from the call to the last epoch · `loop` epochs and batches · `step` images, gradients and
the original's SGD · `state` what is saved, and read again · `options` the 42 · `measure` tests · `events`,
`console`, `tensorboard` who listens.
"""
