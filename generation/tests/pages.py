"""What the tests of the pages share."""

from generation.models import Generation

NEW = "/generations/new/"
ATTACK = "<script>alert('x')</script>\n  & two  spaces"
ESCAPED = "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;\n  &amp; two  spaces"


def url(generation: Generation, action: str = "") -> str:
    return f"/generations/{generation.pk}/" + (f"{action}/" if action else "")
