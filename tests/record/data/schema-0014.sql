CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE image (
	id INTEGER NOT NULL, 
	digest TEXT NOT NULL, 
	config_digest TEXT NOT NULL, 
	base_name TEXT NOT NULL, 
	base_digest TEXT NOT NULL, 
	base_config_digest TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_image PRIMARY KEY (id), 
	CONSTRAINT uq_image_digest UNIQUE (digest)
);
CREATE INDEX ix_image_base_digest ON image (base_digest);
CREATE INDEX ix_image_config_digest ON image (config_digest);
CREATE TABLE job (
	id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_job PRIMARY KEY (id), 
	CONSTRAINT uq_job_name UNIQUE (name)
);
CREATE TABLE image_layer (
	image_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	digest TEXT NOT NULL, 
	diff_id TEXT NOT NULL, 
	size BIGINT NOT NULL, 
	media_type TEXT NOT NULL, 
	title TEXT NOT NULL, 
	CONSTRAINT pk_image_layer PRIMARY KEY (image_id, position), 
	CONSTRAINT fk_image_layer_image_id FOREIGN KEY(image_id) REFERENCES image (id), 
	CONSTRAINT ck_image_layer_kind CHECK (kind IN ('base', 'wheel', 'wheels', 'source', 'runtime'))
);
CREATE TABLE run (
	id INTEGER NOT NULL, 
	public_id TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	job_id INTEGER NOT NULL, 
	image_id INTEGER NOT NULL, 
	rerun_of INTEGER, 
	reference TEXT NOT NULL, 
	description TEXT NOT NULL, 
	submitted_by TEXT NOT NULL, 
	seed BIGINT NOT NULL, 
	program TEXT NOT NULL, 
	resources TEXT NOT NULL, 
	tolerance TEXT NOT NULL, 
	input_paths TEXT NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	attempt INTEGER NOT NULL, 
	cancel_requested_at DATETIME, 
	created_at DATETIME NOT NULL, 
	failure VARCHAR(20), 
	message TEXT NOT NULL, 
	exit_code INTEGER, 
	oom_killed BOOLEAN NOT NULL, 
	reports_missing BOOLEAN NOT NULL, 
	started_at DATETIME, 
	finished_at DATETIME, 
	seconds FLOAT, 
	recorded_at DATETIME, metrics_incomplete TEXT, imported_from TEXT, 
	CONSTRAINT pk_run PRIMARY KEY (id), 
	CONSTRAINT fk_run_image_id FOREIGN KEY(image_id) REFERENCES image (id), 
	CONSTRAINT fk_run_job_id FOREIGN KEY(job_id) REFERENCES job (id), 
	CONSTRAINT fk_run_rerun_of FOREIGN KEY(rerun_of) REFERENCES run (id), 
	CONSTRAINT uq_run_key UNIQUE ("key"), 
	CONSTRAINT uq_run_public_id UNIQUE (public_id), 
	CONSTRAINT ck_run_state CHECK (state IN ('queued', 'preparing', 'running', 'collecting', 'succeeded', 'failed', 'cancelled', 'lost')), 
	CONSTRAINT ck_run_failure CHECK (failure IN ('job', 'memory', 'timeout', 'policy', 'infrastructure'))
);
CREATE INDEX ix_run_created_at ON run (created_at);
CREATE INDEX ix_run_image_id ON run (image_id);
CREATE INDEX ix_run_job_id_created_at ON run (job_id, created_at);
CREATE INDEX ix_run_rerun_of ON run (rerun_of);
CREATE TABLE attempt (
	run_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	box TEXT NOT NULL, 
	boot TEXT NOT NULL, 
	executor TEXT NOT NULL, 
	"plan" TEXT, 
	claimed_at DATETIME NOT NULL, seal TEXT, 
	CONSTRAINT pk_attempt PRIMARY KEY (run_id, number), 
	CONSTRAINT fk_attempt_run_id FOREIGN KEY(run_id) REFERENCES run (id)
);
CREATE INDEX ix_attempt_box ON attempt (box);
CREATE TABLE fingerprint (
	run_id INTEGER NOT NULL, 
	bit_digest TEXT NOT NULL, 
	bit_class TEXT NOT NULL, 
	perf_class TEXT NOT NULL, 
	identity TEXT NOT NULL, 
	CONSTRAINT pk_fingerprint PRIMARY KEY (run_id), 
	CONSTRAINT fk_fingerprint_run_id FOREIGN KEY(run_id) REFERENCES run (id)
);
CREATE INDEX ix_fingerprint_bit_digest ON fingerprint (bit_digest);
CREATE TABLE flag (
	run_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	pid BIGINT NOT NULL, 
	argv TEXT NOT NULL, 
	start TEXT, 
	"end" TEXT, 
	CONSTRAINT pk_flag PRIMARY KEY (run_id, position), 
	CONSTRAINT fk_flag_run_id FOREIGN KEY(run_id) REFERENCES run (id)
);
CREATE TABLE log (
	run_id INTEGER NOT NULL, 
	digest TEXT NOT NULL, 
	size BIGINT NOT NULL, 
	truncated BOOLEAN NOT NULL, 
	CONSTRAINT pk_log PRIMARY KEY (run_id), 
	CONSTRAINT fk_log_run_id FOREIGN KEY(run_id) REFERENCES run (id)
);
CREATE TABLE metric_point (
	run_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	step BIGINT, 
	text TEXT NOT NULL, 
	num FLOAT, 
	CONSTRAINT pk_metric_point PRIMARY KEY (run_id, position), 
	CONSTRAINT fk_metric_point_run_id FOREIGN KEY(run_id) REFERENCES run (id)
);
CREATE TABLE note (
	run_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	CONSTRAINT pk_note PRIMARY KEY (run_id, position), 
	CONSTRAINT fk_note_run_id FOREIGN KEY(run_id) REFERENCES run (id)
);
CREATE TABLE package (
	run_id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	version TEXT NOT NULL, 
	CONSTRAINT pk_package PRIMARY KEY (run_id, name), 
	CONSTRAINT fk_package_run_id FOREIGN KEY(run_id) REFERENCES run (id)
);
CREATE INDEX ix_package_name_version ON package (name, version);
CREATE TABLE param (
	run_id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	type TEXT NOT NULL, 
	text TEXT NOT NULL, 
	num FLOAT, 
	CONSTRAINT pk_param PRIMARY KEY (run_id, name), 
	CONSTRAINT fk_param_run_id FOREIGN KEY(run_id) REFERENCES run (id), 
	CONSTRAINT ck_param_type CHECK (type IN ('bool', 'int', 'float', 'str'))
);
CREATE TABLE source_file (
	run_id INTEGER NOT NULL, 
	path TEXT NOT NULL, 
	sha256 TEXT NOT NULL, 
	CONSTRAINT pk_source_file PRIMARY KEY (run_id, path), 
	CONSTRAINT fk_source_file_run_id FOREIGN KEY(run_id) REFERENCES run (id)
);
CREATE TABLE verdict (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	original_id INTEGER NOT NULL, 
	outcome TEXT NOT NULL, 
	document TEXT NOT NULL, 
	box TEXT, 
	judged_by TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_verdict PRIMARY KEY (id), 
	CONSTRAINT fk_verdict_original_id FOREIGN KEY(original_id) REFERENCES run (id), 
	CONSTRAINT fk_verdict_run_id FOREIGN KEY(run_id) REFERENCES run (id), 
	CONSTRAINT ck_verdict_outcome CHECK (outcome IN ('identical', 'within_tolerance', 'different', 'not_comparable', 'not_instrumented', 'failed'))
);
CREATE INDEX ix_verdict_original_id ON verdict (original_id);
CREATE INDEX ix_verdict_run_id ON verdict (run_id);
CREATE INDEX ix_param_name_num_run_id ON param (name, num, run_id);
CREATE INDEX ix_run_state_created_at ON run (state, created_at);
CREATE TABLE trace (
	run_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	rank INTEGER NOT NULL, 
	world INTEGER NOT NULL, 
	pid BIGINT NOT NULL, 
	digest TEXT NOT NULL, 
	size BIGINT NOT NULL, 
	steps BIGINT NOT NULL, 
	events BIGINT NOT NULL, 
	complete BOOLEAN NOT NULL, 
	broken TEXT, 
	CONSTRAINT pk_trace PRIMARY KEY (run_id, position), 
	CONSTRAINT fk_trace_run_id FOREIGN KEY(run_id) REFERENCES run (id)
);
CREATE TABLE wanted (
	run_id INTEGER NOT NULL, 
	executor TEXT NOT NULL, 
	box TEXT, 
	not_box TEXT, 
	attempts INTEGER NOT NULL, 
	CONSTRAINT pk_wanted PRIMARY KEY (run_id), 
	CONSTRAINT fk_wanted_run_id FOREIGN KEY(run_id) REFERENCES run (id)
);
CREATE TABLE launch (
	run_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	executor TEXT NOT NULL, 
	ref TEXT, 
	launched_by TEXT NOT NULL, 
	launched_at DATETIME NOT NULL, 
	ended TEXT, 
	ended_at DATETIME, 
	CONSTRAINT pk_launch PRIMARY KEY (run_id, number), 
	CONSTRAINT fk_launch_run_id FOREIGN KEY(run_id) REFERENCES run (id)
);
CREATE TABLE log_chunk (
	run_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	start BIGINT NOT NULL, 
	data BLOB NOT NULL, 
	CONSTRAINT pk_log_chunk PRIMARY KEY (run_id, number, start), 
	CONSTRAINT fk_log_chunk_run_id FOREIGN KEY(run_id) REFERENCES run (id)
);
CREATE TABLE annotation (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	word TEXT NOT NULL, 
	text TEXT NOT NULL, 
	made_by TEXT NOT NULL, 
	made_at DATETIME NOT NULL, 
	CONSTRAINT pk_annotation PRIMARY KEY (id), 
	CONSTRAINT ck_annotation_kind CHECK (kind IN ('note', 'tag', 'untag', 'name', 'unname', 'archive', 'restore')), 
	CONSTRAINT fk_annotation_run_id FOREIGN KEY(run_id) REFERENCES run (id)
);
CREATE INDEX ix_annotation_kind_word ON annotation (kind, word);
CREATE TABLE run_input (
	run_id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	CONSTRAINT pk_run_input PRIMARY KEY (run_id, name), 
	CONSTRAINT fk_run_input_run_id FOREIGN KEY(run_id) REFERENCES run (id)
);
CREATE INDEX ix_run_input_digest ON run_input (digest);
CREATE TABLE input_data (
	digest TEXT NOT NULL, 
	folder BOOLEAN NOT NULL, 
	files BIGINT NOT NULL, 
	size BIGINT NOT NULL, 
	CONSTRAINT pk_input_data PRIMARY KEY (digest)
);
CREATE TABLE input_file (
	folder TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	path TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	size BIGINT NOT NULL, 
	CONSTRAINT pk_input_file PRIMARY KEY (folder, position)
);
CREATE INDEX ix_input_file_digest ON input_file (digest);
CREATE INDEX ix_log_digest ON log (digest);
CREATE INDEX ix_trace_digest ON trace (digest);
CREATE TABLE event (
	idx INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	made_by TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	run TEXT, 
	document BLOB NOT NULL, 
	CONSTRAINT pk_event PRIMARY KEY (idx)
);
CREATE INDEX ix_event_at ON event (at);
CREATE INDEX ix_event_kind_idx ON event (kind, idx);
CREATE INDEX ix_event_made_by_idx ON event (made_by, idx);
CREATE INDEX ix_event_run_idx ON event (run, idx);
CREATE TABLE ledger (
	id TEXT NOT NULL, 
	size BIGINT NOT NULL, 
	frontier BLOB NOT NULL, 
	CONSTRAINT pk_ledger PRIMARY KEY (id)
);
CREATE TABLE checkpoint (
	size INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT pk_checkpoint PRIMARY KEY (size)
);
CREATE INDEX ix_param_name_text_run_id ON param (name, substr(text, 1, 100), run_id) WHERE num IS NULL;
CREATE INDEX ix_run_seconds_id ON run (seconds, id);
CREATE INDEX ix_run_seed_id ON run (seed, id);
CREATE INDEX ix_run_submitted_by_created_at ON run (submitted_by, created_at);
CREATE INDEX ix_run_failure_created_at ON run (failure, created_at) WHERE failure IS NOT NULL;
CREATE INDEX ix_annotation_run_id_kind_word ON annotation (run_id, kind, word);
CREATE TABLE "output" (
	run_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	path TEXT NOT NULL, 
	status VARCHAR(20) NOT NULL, 
	digest TEXT, 
	size BIGINT NOT NULL, 
	reason TEXT, 
	target TEXT, 
	CONSTRAINT pk_output PRIMARY KEY (run_id, position), 
	CONSTRAINT ck_output_status CHECK (status IN ('kept', 'rejected')), 
	CONSTRAINT fk_output_run_id FOREIGN KEY(run_id) REFERENCES run (id)
);
CREATE INDEX ix_output_digest_run_id ON output (digest, run_id);
CREATE TABLE "metric" (
	run_id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	text TEXT NOT NULL, 
	num FLOAT, 
	job_id INTEGER NOT NULL, 
	low FLOAT, 
	low_step BIGINT, 
	high FLOAT, 
	high_step BIGINT, 
	last_step BIGINT, 
	CONSTRAINT pk_metric PRIMARY KEY (run_id, name), 
	CONSTRAINT fk_metric_run_id FOREIGN KEY(run_id) REFERENCES run (id)
);
CREATE INDEX ix_metric_job_id_name_num_run_id ON metric (job_id, name, num, run_id);
CREATE INDEX ix_metric_name_num_run_id ON metric (name, num, run_id);
CREATE INDEX ix_metric_name_low_run_id ON metric (name, low, run_id);
CREATE INDEX ix_metric_name_high_run_id ON metric (name, high, run_id);
CREATE INDEX ix_metric_job_id_name_low_run_id ON metric (job_id, name, low, run_id);
CREATE INDEX ix_metric_job_id_name_high_run_id ON metric (job_id, name, high, run_id);
CREATE TABLE "box" (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	state TEXT NOT NULL, 
	boot TEXT NOT NULL, 
	slots INTEGER NOT NULL, 
	cpus INTEGER NOT NULL, 
	memory BIGINT NOT NULL, 
	gpus TEXT NOT NULL, 
	bit_class TEXT NOT NULL, 
	bit_digest TEXT NOT NULL, 
	versions TEXT NOT NULL, 
	started_at DATETIME NOT NULL, 
	seen_at DATETIME NOT NULL, 
	trouble TEXT NOT NULL, 
	CONSTRAINT pk_box PRIMARY KEY (id)
);
CREATE TABLE "git_state" (
	run_id INTEGER NOT NULL, 
	remote TEXT, 
	"commit" TEXT NOT NULL, 
	branch TEXT, 
	author TEXT, 
	committed_at DATETIME, 
	subject TEXT NOT NULL, 
	dirty BOOLEAN NOT NULL, 
	patch_digest TEXT, 
	submodules TEXT, 
	CONSTRAINT pk_git_state PRIMARY KEY (run_id), 
	CONSTRAINT fk_git_state_run_id FOREIGN KEY(run_id) REFERENCES run (id)
);
CREATE INDEX ix_git_state_commit ON git_state ("commit");
CREATE INDEX ix_git_state_patch_digest ON git_state (patch_digest);
CREATE INDEX ix_run_metrics_incomplete ON run (job_id) WHERE metrics_incomplete IS NOT NULL;
INSERT INTO alembic_version VALUES ('0014');
