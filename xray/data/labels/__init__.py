"""Label rules as data: which native term says what of which task.

One CSV per labeller, with the columns
    column     the native column that the rule reads
    term       the native term looked for in it
    task       a finding, or nothing where the term is dropped on purpose
    rule       how the term speaks (see `xray.data.labels.rules.RULES`)
    protocol   the protocol's rule set that the row belongs to; nothing: every one
    source     where the rule comes from
"""
