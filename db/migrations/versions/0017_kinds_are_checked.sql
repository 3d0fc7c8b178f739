-- Check the kinds of jobs of before; reads and writes go on meanwhile.
ALTER TABLE jobs VALIDATE CONSTRAINT job_kind_is_known;
