"""Print what the owner of a project has to do after an update to a release, besides merging."""

import sys

NOTICES = {
    "v0.5.0": """
  Do once: which rows are held out has changed, so the models that are registered now cannot be compared with new
  ones, and the next training would stop. This one may take their place without a comparison; all other gates hold:

    uv run mlops train --environment dev --overrides promotion.incomparable_champion=replace
    uv run mlops local --overrides promotion.incomparable_champion=replace     on this machine

  config/model.yml got `offset: dep_delay`, which is the sample's: delete it unless your data have that column and you
  want it. In data/schema.yml keep your columns.

  A section `split` in data/schema.yml says which rows belong together, such as those of one customer or day. Add it
  before that training: a later change of it has the same effect.
"""
}

if __name__ == "__main__":
    print(NOTICES[sys.argv[1]], file=sys.stderr)
