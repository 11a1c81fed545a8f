"""Base images: their recipe, how they are made, and the digests that they are pinned by."""
