"""The pages of the Django admin on which staff adds to the books; credits.admin lists the books."""
