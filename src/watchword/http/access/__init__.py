"""Access over HTTP: custom roles in every generation of paths, additional privileges, explanations and the
access report.
"""
