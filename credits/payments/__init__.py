"""The only code that knows Stripe exists: intake, inbox, readers, rules. See docs/stripe.md."""
