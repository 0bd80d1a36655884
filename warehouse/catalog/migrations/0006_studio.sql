-- Between Label Studio and the warehouse: projects by id, and what a pull has already read.

CREATE TABLE studio_projects (
  project VARCHAR NOT NULL,
  number BIGINT NOT NULL,
  url VARCHAR NOT NULL,
  title VARCHAR NOT NULL,
  retired_at TIMESTAMP WITH TIME ZONE,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE studio_projects IS 'The Label Studio projects that propositions are pushed to. Written by odds push and odds pull.';
COMMENT ON COLUMN studio_projects.project IS 'The id: the project''s number and creation time. Also the batch of its judgments.';
COMMENT ON COLUMN studio_projects.number IS 'The number of the project in Label Studio.';
COMMENT ON COLUMN studio_projects.url IS 'The address of the Label Studio server where it was last seen.';
COMMENT ON COLUMN studio_projects.title IS 'Its title in the settings. It may have been renamed in Label Studio.';
COMMENT ON COLUMN studio_projects.retired_at IS 'When another project replaced it after it was deleted (UTC); null for the one in use.';
COMMENT ON COLUMN studio_projects.created_at IS 'When the row was first written (UTC).';

CREATE TABLE studio_tasks (
  studio_task_id VARCHAR NOT NULL,
  project VARCHAR NOT NULL,
  number BIGINT NOT NULL,
  changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
  n_annotations BIGINT NOT NULL,
  judgments VARCHAR[] NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE studio_tasks IS 'An annotated Label Studio task as odds pull last read it; unchanged tasks are not read again. Written by odds pull.';
COMMENT ON COLUMN studio_tasks.studio_task_id IS 'The id: a hash of the project and the number.';
COMMENT ON COLUMN studio_tasks.project IS 'The project, by its id in studio_projects.';
COMMENT ON COLUMN studio_tasks.number IS 'The number of the task in Label Studio.';
COMMENT ON COLUMN studio_tasks.changed_at IS 'When it was last changed, according to Label Studio (UTC).';
COMMENT ON COLUMN studio_tasks.n_annotations IS 'Its annotations, including unusable ones but not skipped ones (count).';
COMMENT ON COLUMN studio_tasks.judgments IS 'The judgments that came from it, by their source_id.';
COMMENT ON COLUMN studio_tasks.created_at IS 'When the row was first written (UTC).';
