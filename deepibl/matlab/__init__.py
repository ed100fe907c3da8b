"""The original functions under their exact names; thin."""
