"""What a user chooses for a training: frozen dataclasses that check their own ranges.

Only the standard library is imported: a pipeline definition, the TFX side and the TFF side read the same classes.
Each module holds the alternatives of one choice; `encoding` turns a choice into JSON and back.
"""
