/** The database that is backed up: text, accounts, and vectors with an index. All of it made by SQL, the same each time. */

export interface Size {
  /** Of the whole. */
  share: number
  vectors: number
  documents: number
  accounts: number
}

/** Memory for building the index, so that it is built in memory: here, and in the restore of the seed. */
export const indexMemory = '2GB'

/** A quarter, a half and the whole of the default database, or of a very small one. */
export function sizes(quick: boolean): Size[] {
  const whole = quick
    ? { vectors: 2000, documents: 2000, accounts: 1000 }
    : { vectors: 100_000, documents: 40_000, accounts: 20_000 }
  return [0.25, 0.5, 1].map((share) => ({
    share,
    vectors: whole.vectors * share,
    documents: whole.documents * share,
    accounts: whole.accounts * share,
  }))
}

/** Text of about 2 kB that gzip makes 2.6 times smaller: words of two syllables, some far more frequent than others. */
const words = `select string_agg(substr('basetikolumeranodivapustrengelwortandomirekafusebiloctemplanygraheshijovuxyzquawicedofugo', 1 + (k * 7) % 80, 2 + k % 3)
    || substr('inerationalstedlyousmentiveablessureshipful', 1 + (k / 5) % 38, k % 4), ' ')
  from (select floor(4096 * power(random(), 3))::int k from generate_series(1, 400) where i > 0) chosen`

/** Vectors around 200 topics, as embeddings are: without topics an index takes three times as long to build. */
const vectors = (from: number, to: number, documents: number) => `
select setseed(0.17);
create temp table topics as select c, array(select random_normal(0, 0.02)::real from generate_series(1, 1536) where c >= 0) v
  from generate_series(0, 199) c;
alter table topics add primary key (c);
select setseed(${from / 1e6});
insert into embeddings select i, 1 + i % ${documents},
  (select array_agg((x + random_normal(0, 0.016))::real)::vector(1536) from unnest((select v from topics where c = i % 200)) x)
  from generate_series(${from}, ${to}) i;`

/** SQL that makes the database. */
export function fill({ vectors: count, documents, accounts }: Size): string {
  return `set maintenance_work_mem = '${indexMemory}';
create table accounts (id int primary key, name text not null, email text not null unique, last_seen timestamptz not null);
create table documents (id int primary key, account_id int not null references accounts, body text not null, updated_at timestamptz not null);
create table embeddings (id int primary key, document_id int not null references documents, embedding vector(1536) not null);
insert into accounts select i, 'Account ' || i, md5(i::text) || '@everyskill.test', '2026-01-01Z'::timestamptz + i * interval '1 minute'
  from generate_series(1, ${accounts}) i;
select setseed(0.42);
insert into documents select i, 1 + i % ${accounts}, (${words}), '2026-01-01Z'::timestamptz + i * interval '1 minute'
  from generate_series(1, ${documents}) i;
create index on documents (account_id);
${vectors(1, count, documents)}
create index on embeddings using hnsw (embedding vector_cosine_ops);
vacuum analyze;
checkpoint;`
}

/** SQL that changes each hundredth row outside the vectors, so scattered over all pages: the dearest way to change 1 %. */
export const change = `update accounts set last_seen = last_seen + interval '1 day' where id % 100 = 0;
update documents set body = body || ' revised', updated_at = updated_at + interval '1 day' where id % 100 = 0;`

/** SQL that adds 1 % vectors, through the index. */
export function addVectors({ vectors: count, documents }: Size): string {
  return vectors(count + 1, Math.ceil(count * 1.01), documents)
}

/** SQL whose one line of output tells whether a restored database is the one that was backed up. */
export const fingerprint = `select (select count(*) from accounts), (select count(*) from documents), (select count(*) from embeddings),
  (select count(*) from documents where body like '% revised'), (select sum(hashtext(body)::bigint) from documents),
  (select sum(round(vector_norm(embedding)::numeric, 6)) from embeddings),
  (select count(*) from pg_index join pg_class on oid = indexrelid where relname ~ 'embeddings_embedding' and indisvalid)`
