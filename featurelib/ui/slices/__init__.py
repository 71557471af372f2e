"""Sets of texts held against each other: by the values of a column, along a number or date, or any two slices.

difference  the table of features that fire oftener in one set than in another, and its numbers
column      a column's values, each against the others
trend       features that rise or fall with a number or a date
concept     whether examples have something in common that features carry
side        the conditions of a slice, which live in the address
comparing   two slices, and the texts of both on which a feature is most active
"""
