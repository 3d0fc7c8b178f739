-- Ids and cursors that were shown under it stay valid as long as it stays. It has 244 random bits.
CREATE TABLE number_secrets (
    is_only boolean NOT NULL DEFAULT true CONSTRAINT number_secrets_key PRIMARY KEY
        CONSTRAINT number_secret_is_only CHECK (is_only),
    secret bytea NOT NULL CONSTRAINT number_secret_is_long CHECK (octet_length(secret) = 32)
);
INSERT INTO number_secrets (secret)
SELECT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex');
