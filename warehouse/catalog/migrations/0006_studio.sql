-- The way between Label Studio and the warehouse: the project by its id, and what a pull has read already.

CREATE TABLE studio_projects (
  project VARCHAR NOT NULL,
  number BIGINT NOT NULL,
  url VARCHAR NOT NULL,
  title VARCHAR NOT NULL,
  retired_at TIMESTAMP WITH TIME ZONE,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE studio_projects IS 'The Label Studio projects that propositions are pushed to. Written by odds push and odds pull.';
COMMENT ON COLUMN studio_projects.project IS 'The id: the number of the project and when it was made there. The batch of its judgments.';
COMMENT ON COLUMN studio_projects.number IS 'The number of the project in Label Studio.';
COMMENT ON COLUMN studio_projects.url IS 'The address of the Label Studio where it was last seen.';
COMMENT ON COLUMN studio_projects.title IS 'Its title in the settings. In Label Studio it may have another name since.';
COMMENT ON COLUMN studio_projects.retired_at IS 'When another project took its place, after it had vanished (UTC); null for the one in use.';
COMMENT ON COLUMN studio_projects.created_at IS 'When this row was written (UTC).';

CREATE TABLE studio_tasks (
  studio_task_id VARCHAR NOT NULL,
  project VARCHAR NOT NULL,
  number BIGINT NOT NULL,
  changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
  n_annotations BIGINT NOT NULL,
  judgments VARCHAR[] NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE studio_tasks IS 'An annotated task of Label Studio as odds pull last read it: what did not change since is not read again. Written by odds pull.';
COMMENT ON COLUMN studio_tasks.studio_task_id IS 'The id: a hash of the project and the number.';
COMMENT ON COLUMN studio_tasks.project IS 'The project, by its id in studio_projects.';
COMMENT ON COLUMN studio_tasks.number IS 'The number of the task in Label Studio.';
COMMENT ON COLUMN studio_tasks.changed_at IS 'When Label Studio says that it was last changed (UTC).';
COMMENT ON COLUMN studio_tasks.n_annotations IS 'How many annotations it had, those that cannot be used included, skipped ones not.';
COMMENT ON COLUMN studio_tasks.judgments IS 'The judgments that came from it, by their source_id.';
COMMENT ON COLUMN studio_tasks.created_at IS 'When this row was written first (UTC).';
