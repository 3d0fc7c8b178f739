-- Return the number of the configuration in force; null where none was committed yet.
SELECT max(c.configuration_no)
FROM configurations AS c
