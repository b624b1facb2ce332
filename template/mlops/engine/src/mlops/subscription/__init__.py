"""The subscription: the account that is signed in, its rights, and what comes before and after the resources."""
