"""Access, the rules: what a role's rules allow, and whether one set of rules allows no more than another.

A request names an action, a subject and facts; an `Ability` compiled from the caller's grants answers with a
`Decision`. Which grants somebody holds is read by `services.access`; this package only decides.
"""
