"""The pages about logging in: the methods of an identity, its credentials, the login tester, and refused logins."""
