-- Whether the records of a set are kept by the value of their keys, so that what compares equal in the source is one record.
-- Sets from before are kept by the spelling until the next import of theirs, which renames what it must.
ALTER TABLE record_sets ADD COLUMN keys_by_value boolean NOT NULL DEFAULT false;
