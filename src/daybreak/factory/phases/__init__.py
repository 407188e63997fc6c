"""The phases of a build: what each needs and makes, who works in it, and what must hold before the next begins."""
