"""What runs in the TensorFlow Federated interpreter; it never imports TFX.

`tff_runtime.job` and `tff_runtime.model` need only the standard library, so that the TFX side and a user's module file
import them too.
"""
