-- Read the access rules as they are: the object of each and its definition.
SELECT a.object, a.definition
FROM access_rules AS a
