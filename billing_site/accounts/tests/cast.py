from billing_site.accounts.models import User

PASSWORD = "seven-plain-words-92"


def new_user(email: str = "ada@example.com", **fields: object) -> User:
    """A user who has verified the address and can sign in."""
    user = User.objects.create_user(email=email, password=PASSWORD, **fields)
    user.emailaddress_set.create(email=email, verified=True, primary=True)
    return user
