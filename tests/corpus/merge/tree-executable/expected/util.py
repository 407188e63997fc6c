def slug(text: str) -> str:
    return text.lower().replace(" ", "-")


def title(text: str) -> str:
    return text.title()
