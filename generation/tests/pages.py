"""What the tests of the pages share."""

from generation.models import Generation

NEW = "/generations/new/"
NO_SUCH_ID = "6f9619ff-8b86-4011-b42d-00cf4fc964ff"
ATTACK = "<script>alert('x')</script>\n  & two  spaces"
ESCAPED = "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;\n  &amp; two  spaces"


def url(generation: Generation, action: str = "") -> str:
    return f"/generations/{generation.pk}/" + (f"{action}/" if action else "")
