"""Where pixels lie on the sky."""
