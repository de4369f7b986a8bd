-- Written by the code of revision 0003, before markets and data versions had tables.
BEGIN TRANSACTION;
CREATE TABLE algorithms (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	batch TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	model TEXT NOT NULL, 
	provider TEXT NOT NULL, 
	label TEXT NOT NULL, 
	prompt_version TEXT NOT NULL, 
	prompt TEXT NOT NULL, 
	status TEXT NOT NULL, 
	answer TEXT, 
	source TEXT, 
	signature TEXT, 
	reason TEXT, 
	requests INTEGER NOT NULL, 
	candidate BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	CONSTRAINT pk_algorithms PRIMARY KEY (id), 
	CONSTRAINT ck_algorithms_status CHECK (status IN ('asking', 'ready', 'refused', 'failed')), 
	CONSTRAINT fk_algorithms_run_id FOREIGN KEY(run_id) REFERENCES runs (id), 
	CONSTRAINT uq_algorithms_run_id_position UNIQUE (run_id, position)
);
CREATE TABLE alphas (
	service TEXT NOT NULL, 
	alpha_id TEXT NOT NULL, 
	expression TEXT NOT NULL, 
	settings JSON NOT NULL, 
	sharpe DOUBLE, 
	fitness DOUBLE, 
	turnover DOUBLE, 
	returns DOUBLE, 
	drawdown DOUBLE, 
	margin DOUBLE, 
	pnl DOUBLE, 
	long_count INTEGER, 
	short_count INTEGER, 
	grade TEXT, 
	checks JSON NOT NULL, 
	hopeful BOOLEAN NOT NULL, 
	mined_at DATETIME, 
	source TEXT NOT NULL, 
	planted JSON, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_alphas PRIMARY KEY (service, alpha_id), 
	CONSTRAINT ck_alphas_source CHECK (source IN ('simulated', 'import'))
);
INSERT INTO "alphas" VALUES('local:00112233445566ff','OLD0','rank(ts_delta(close, 1))','{"delay": 1, "decay": 0}',1.0,0.4,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[]',0,NULL,'simulated',NULL,'2026-05-04 12:00:00.000000');
INSERT INTO "alphas" VALUES('local:00112233445566ff','OLD1','rank(ts_delta(close, 2))','{"delay": 1, "decay": 0}',1.1,0.5,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[]',0,NULL,'simulated',NULL,'2026-05-04 12:00:00.000000');
INSERT INTO "alphas" VALUES('local:00112233445566ff','OLD2','rank(ts_delta(close, 3))','{"delay": 1, "decay": 0}',1.2,6.00000000000000088817e-01,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[]',0,NULL,'simulated',NULL,'2026-05-04 12:00:00.000000');
INSERT INTO "alphas" VALUES('local:00112233445566ff','OLD3','rank(ts_delta(close, 4))','{"delay": 1, "decay": 0}',1.3,0.7,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[]',1,NULL,'simulated',NULL,'2026-05-04 12:00:00.000000');
INSERT INTO "alphas" VALUES('local:00112233445566ff','OLD4','rank(ts_delta(close, 5))','{"delay": 1, "decay": 0}',1.4,0.8,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[]',1,NULL,'simulated',NULL,'2026-05-04 12:00:00.000000');
INSERT INTO "alphas" VALUES('worldquant','WQ1','rank(ts_delta(close, 1))','{"delay": 1, "decay": 0}',1.5,1.1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[]',1,NULL,'simulated',NULL,'2026-05-04 12:00:00.000000');
CREATE TABLE daily_pnl (
	service TEXT NOT NULL, 
	alpha_id TEXT NOT NULL, 
	days BLOB NOT NULL, 
	amounts BLOB NOT NULL, 
	CONSTRAINT pk_daily_pnl PRIMARY KEY (service, alpha_id), 
	CONSTRAINT fk_daily_pnl_service_alpha_id FOREIGN KEY(service, alpha_id) REFERENCES alphas (service, alpha_id)
);
INSERT INTO "daily_pnl" VALUES('local:00112233445566ff','OLD3',X'5747000058470000594700005A4700005B4700005C470000',X'0000000000000000000000000000F03F0000000000000040000000000000084000000000000010400000000000001440');
INSERT INTO "daily_pnl" VALUES('local:00112233445566ff','OLD4',X'5747000058470000594700005A4700005B4700005C470000',X'0000000000000000000000000000F03F0000000000000040000000000000084000000000000010400000000000001440');
INSERT INTO "daily_pnl" VALUES('worldquant','WQ1',X'5747000058470000594700005A4700005B4700005C470000',X'0000000000000000000000000000F03F0000000000000040000000000000084000000000000010400000000000001440');
CREATE TABLE foundry_schema_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT foundry_schema_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "foundry_schema_version" VALUES('0003');
CREATE TABLE model_requests (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	model TEXT NOT NULL, 
	provider TEXT NOT NULL, 
	endpoint TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	outcome TEXT NOT NULL, 
	status INTEGER, 
	seconds DOUBLE NOT NULL, 
	prompt_tokens BIGINT, 
	completion_tokens BIGINT, 
	cost DOUBLE, 
	reason TEXT, 
	at DATETIME NOT NULL, 
	CONSTRAINT pk_model_requests PRIMARY KEY (id), 
	CONSTRAINT fk_model_requests_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE race_results (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	algorithm_id INTEGER, 
	name TEXT NOT NULL, 
	market_label TEXT NOT NULL, 
	tickers JSON NOT NULL, 
	rank INTEGER, 
	total_return DOUBLE, 
	sharpe DOUBLE, 
	drawdown DOUBLE, 
	trades INTEGER, 
	seconds_per_call DOUBLE, 
	failure TEXT, 
	statistics JSON NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT pk_race_results PRIMARY KEY (id), 
	CONSTRAINT fk_race_results_run_id FOREIGN KEY(run_id) REFERENCES runs (id), 
	CONSTRAINT fk_race_results_algorithm_id FOREIGN KEY(algorithm_id) REFERENCES algorithms (id)
);
INSERT INTO "race_results" VALUES(1,4,NULL,'buy-and-hold','bars.parquet: 40 names, 2020-01-02 to 2023-01-26 (800 days)','["N01"]',NULL,0.1,0.4,NULL,NULL,NULL,NULL,'{}','2026-05-04 12:00:00.000000');
CREATE TABLE refusals (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	origin TEXT NOT NULL, 
	text TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT pk_refusals PRIMARY KEY (id), 
	CONSTRAINT fk_refusals_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE runs (
	id INTEGER NOT NULL, 
	flow TEXT NOT NULL, 
	service TEXT NOT NULL, 
	market_label TEXT, 
	seed BIGINT, 
	settings JSON NOT NULL, 
	host TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	process_started DOUBLE NOT NULL, 
	heartbeat_at DATETIME NOT NULL, 
	started_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	status TEXT NOT NULL, 
	report JSON, 
	CONSTRAINT pk_runs PRIMARY KEY (id), 
	CONSTRAINT ck_runs_status CHECK (status IN ('running', 'finished', 'failed', 'interrupted'))
);
INSERT INTO "runs" VALUES(1,'daily','local:00112233445566ff','bars.parquet: 40 names, 2020-01-02 to 2023-01-26 (800 days)',3,'{"market": "data/bars.parquet"}','host',6092,1795962789.22,'2026-05-04 12:00:00.000000','2026-05-04 12:00:00.000000','2026-05-04 12:00:00.000000','finished','{"flow": "daily"}');
INSERT INTO "runs" VALUES(2,'daily','worldquant',NULL,3,'{"market": "calibration"}','host',6092,1795962789.22,'2026-05-04 12:00:00.000000','2026-05-04 12:00:00.000000','2026-05-04 12:00:00.000000','finished',NULL);
INSERT INTO "runs" VALUES(3,'optimize','workflow:sma','SYNTHETIC calibration market (seed 0): 500 names, 2019-01-02 to 2024-01-03 (1260 days)',1,'{"workflow": "a.yaml"}','host',6092,1795962789.22,'2026-05-04 12:00:00.000000','2026-05-04 12:00:00.000000','2026-05-04 12:00:00.000000','finished',NULL);
INSERT INTO "runs" VALUES(4,'algorithms','openrouter','bars.parquet: 40 names, 2020-01-02 to 2023-01-26 (800 days)',1,'{"market": "data/bars.parquet"}','host',6092,1795962789.22,'2026-05-04 12:00:00.000000','2026-05-04 12:00:00.000000','2026-05-04 12:00:00.000000','finished',NULL);
CREATE TABLE simulations (
	id INTEGER NOT NULL, 
	service TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	canonical TEXT NOT NULL, 
	expression TEXT NOT NULL, 
	settings JSON NOT NULL, 
	origin TEXT NOT NULL, 
	run_id INTEGER NOT NULL, 
	parent_alpha_id TEXT, 
	variation TEXT, 
	correlation_to_parent DOUBLE, 
	gain DOUBLE, 
	status TEXT NOT NULL, 
	location TEXT, 
	alpha_id TEXT, 
	message TEXT, 
	attempts INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	sent_at DATETIME, 
	finished_at DATETIME, 
	CONSTRAINT pk_simulations PRIMARY KEY (id), 
	CONSTRAINT ck_simulations_status CHECK (status IN ('planned', 'sending', 'sent', 'deferred', 'complete', 'warning', 'error', 'timeout', 'failed', 'cancelled')), 
	CONSTRAINT fk_simulations_run_id FOREIGN KEY(run_id) REFERENCES runs (id), 
	CONSTRAINT uq_simulations_service_key UNIQUE (service, "key")
);
INSERT INTO "simulations" VALUES(1,'local:00112233445566ff','3ebc21e5fd4220cb67058441bec255e53380a01baa02e3107a4d24f19f3eb002','rank(ts_delta(close,3))','rank(ts_delta(close, 3))','{"delay": 1, "decay": 0}','grammar',1,NULL,NULL,NULL,NULL,'complete','/simulations/2','OLD2',NULL,1,'2026-05-04 12:00:00.000000','2026-05-04 12:00:00.000000','2026-05-04 12:00:00.000000');
INSERT INTO "simulations" VALUES(2,'local:00112233445566ff','89d1088936dcd03f1837c2ce6986352f9e4446a0970acf406238a8bc87107a05','rank(ts_delta(close,2))','rank(ts_delta(close, 2))','{"delay": 1, "decay": 0}','grammar',1,NULL,NULL,NULL,NULL,'complete','/simulations/1','OLD1',NULL,1,'2026-05-04 12:00:00.000000','2026-05-04 12:00:00.000000','2026-05-04 12:00:00.000000');
INSERT INTO "simulations" VALUES(3,'local:00112233445566ff','8bc62dc3e7eecd3c4dfa4b8b3bf5a8b932e0dfb35d3e7ce07231cfa8e04d7fbc','rank(ts_delta(close,1))','rank(ts_delta(close, 1))','{"delay": 1, "decay": 0}','grammar',1,NULL,NULL,NULL,NULL,'complete','/simulations/0','OLD0',NULL,1,'2026-05-04 12:00:00.000000','2026-05-04 12:00:00.000000','2026-05-04 12:00:00.000000');
INSERT INTO "simulations" VALUES(4,'local:00112233445566ff','9c272367e46afff61fb023f08c84d8a65944b55df297a2464c66c96480e6fa04','rank(ts_delta(close,4))','rank(ts_delta(close, 4))','{"delay": 1, "decay": 0}','grammar',1,NULL,NULL,NULL,NULL,'complete','/simulations/3','OLD3',NULL,1,'2026-05-04 12:00:00.000000','2026-05-04 12:00:00.000000','2026-05-04 12:00:00.000000');
INSERT INTO "simulations" VALUES(5,'local:00112233445566ff','e7b21d1b07ca4337bc2693a2aa20633b32e8df8337f0d275dcde0519ea22c7d3','rank(ts_delta(close,6))','rank(ts_delta(close, 6))','{"delay": 1, "decay": 0}','grammar',1,NULL,NULL,NULL,NULL,'planned',NULL,NULL,NULL,0,'2026-05-04 12:00:00.000000',NULL,NULL);
INSERT INTO "simulations" VALUES(6,'local:00112233445566ff','f3cbfffd7c0f91a34f064364824c083ace7489afcc4092d5fdc9e7320f77049a','rank(ts_delta(close,5))','rank(ts_delta(close, 5))','{"delay": 1, "decay": 0}','grammar',1,NULL,NULL,NULL,NULL,'complete','/simulations/4','OLD4',NULL,1,'2026-05-04 12:00:00.000000','2026-05-04 12:00:00.000000','2026-05-04 12:00:00.000000');
INSERT INTO "simulations" VALUES(7,'worldquant','8bc62dc3e7eecd3c4dfa4b8b3bf5a8b932e0dfb35d3e7ce07231cfa8e04d7fbc','rank(ts_delta(close,1))','rank(ts_delta(close, 1))','{"delay": 1, "decay": 0}','grammar',2,NULL,NULL,NULL,NULL,'complete','/simulations/w','WQ1',NULL,1,'2026-05-04 12:00:00.000000','2026-05-04 12:00:00.000000','2026-05-04 12:00:00.000000');
CREATE TABLE submissions (
	id INTEGER NOT NULL, 
	service TEXT NOT NULL, 
	alpha_id TEXT NOT NULL, 
	eastern_day DATE NOT NULL, 
	status TEXT NOT NULL, 
	detail TEXT, 
	checks JSON NOT NULL, 
	intended_at DATETIME NOT NULL, 
	settled_at DATETIME, 
	run_id INTEGER NOT NULL, 
	CONSTRAINT pk_submissions PRIMARY KEY (id), 
	CONSTRAINT ck_submissions_status CHECK (status IN ('intended', 'accepted', 'rejected', 'failed')), 
	CONSTRAINT fk_submissions_run_id FOREIGN KEY(run_id) REFERENCES runs (id), 
	CONSTRAINT uq_submissions_service_alpha_id UNIQUE (service, alpha_id)
);
CREATE TABLE workflow_alerts (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	kind TEXT NOT NULL, 
	value DOUBLE NOT NULL, 
	threshold DOUBLE NOT NULL, 
	message TEXT NOT NULL, 
	CONSTRAINT pk_workflow_alerts PRIMARY KEY (id), 
	CONSTRAINT fk_workflow_alerts_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE workflow_phases (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	workflow TEXT NOT NULL, 
	phase TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	status TEXT NOT NULL, 
	trials INTEGER NOT NULL, 
	executed INTEGER NOT NULL, 
	left_out INTEGER NOT NULL, 
	seconds DOUBLE, 
	work_seconds DOUBLE, 
	message TEXT, 
	started_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	CONSTRAINT pk_workflow_phases PRIMARY KEY (id), 
	CONSTRAINT ck_workflow_phases_status CHECK (status IN ('running', 'finished', 'restored', 'failed', 'interrupted')), 
	CONSTRAINT fk_workflow_phases_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "workflow_phases" VALUES(1,3,'sma','search','k1','running',0,0,0,NULL,NULL,NULL,'2026-05-04 12:00:00.000000',NULL);
CREATE TABLE workflow_samples (
	id INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	phase TEXT NOT NULL, 
	memory_percent DOUBLE NOT NULL, 
	cpu_percent DOUBLE NOT NULL, 
	disk_percent DOUBLE NOT NULL, 
	workflow_memory BIGINT NOT NULL, 
	workers INTEGER NOT NULL, 
	trials_done INTEGER NOT NULL, 
	trials_left_out INTEGER NOT NULL, 
	trial_seconds DOUBLE, 
	CONSTRAINT pk_workflow_samples PRIMARY KEY (id), 
	CONSTRAINT fk_workflow_samples_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE workflow_trials (
	phase_key TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	run_id INTEGER NOT NULL, 
	workflow TEXT NOT NULL, 
	phase TEXT NOT NULL, 
	batch INTEGER NOT NULL, 
	seed BIGINT NOT NULL, 
	item JSON NOT NULL, 
	metrics JSON, 
	status TEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	executions INTEGER NOT NULL, 
	message TEXT, 
	CONSTRAINT pk_workflow_trials PRIMARY KEY (phase_key, number), 
	CONSTRAINT ck_workflow_trials_status CHECK (status IN ('done', 'left_out')), 
	CONSTRAINT fk_workflow_trials_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "workflow_trials" VALUES('k1',0,3,'sma','search',0,7,'{"fast": 1}','{"sharpe": 0.5}','done',1,1,NULL);
CREATE INDEX ix_alphas_service_hopeful_fitness ON alphas (service, hopeful, fitness);
CREATE INDEX ix_runs_status ON runs (status);
CREATE INDEX ix_refusals_run_id ON refusals (run_id);
CREATE INDEX ix_simulations_run_id_status ON simulations (run_id, status);
CREATE INDEX ix_simulations_service_alpha_id ON simulations (service, alpha_id);
CREATE INDEX ix_simulations_service_status ON simulations (service, status);
CREATE INDEX ix_submissions_service_eastern_day ON submissions (service, eastern_day);
CREATE INDEX ix_algorithms_batch_status ON algorithms (batch, status);
CREATE INDEX ix_algorithms_candidate ON algorithms (candidate);
CREATE INDEX ix_model_requests_run_id ON model_requests (run_id);
CREATE INDEX ix_model_requests_model ON model_requests (model);
CREATE INDEX ix_race_results_run_id ON race_results (run_id);
CREATE INDEX ix_race_results_algorithm_id ON race_results (algorithm_id);
CREATE INDEX ix_workflow_phases_run_id ON workflow_phases (run_id);
CREATE INDEX ix_workflow_phases_key_status ON workflow_phases ("key", status);
CREATE INDEX ix_workflow_trials_run_id ON workflow_trials (run_id);
CREATE INDEX ix_workflow_samples_run_id_at ON workflow_samples (run_id, at);
CREATE INDEX ix_workflow_alerts_run_id ON workflow_alerts (run_id);
COMMIT;
