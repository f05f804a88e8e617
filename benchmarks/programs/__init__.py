"""The programs that `compare.py` runs against each other, one module each.

A module has a class `Program(task)` with three methods (`programs.task.Program`). They share the pictures, which lie
decoded in memory, the network's initial weights, batch 128, pad 4 + crop + mirror, and SGD with momentum. Everything
else is as the users of each library write it.
"""
