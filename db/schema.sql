-- The truth about Penstock's data. Load it into an empty database:
--     psql -v ON_ERROR_STOP=1 -f db/schema.sql
-- or let `./penstock migrate` do so; both read the same files, in this order.
\ir schema/foundation.sql
\ir schema/tenancy.sql
\ir schema/identity.sql
\ir schema/media_files.sql
\ir schema/catalog.sql
\ir schema/media.sql
\ir schema/commerce.sql
\ir schema/playback.sql
\ir schema/entitlement.sql
\ir schema/announce.sql
\ir schema/announce_reads.sql
\ir schema/platform_commands.sql
\ir schema/grants.sql
