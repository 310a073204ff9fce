#!/usr/bin/env bash
# For a single container (Dockerfile or Dockerrun.aws.json). Runs the migration of the new image once
# per version, before a container of that image serves. A command of .ebextensions could not: it runs
# on the instance, without your application. 10_bellwether.sh has installed the program, and written
# the properties.
#
# The output is in /var/log/eb-hooks.log.
set -euo pipefail

# Beanstalk's name for the image that it has built or pulled for this version.
image=aws_beanstalk/staging-app
migrate=(./bin/migrate)

# Names only: the values are in the environment of this hook, and on no command line.
properties=()
while IFS= read -r -d '' pair; do
    properties+=(--env "${pair%%=*}")
done </etc/bellwether/properties

# The command is a child of bellwether in the same container, so it always ends with bellwether.
exec docker run --rm --network host "${properties[@]}" \
    --volume /usr/local/bin/bellwether:/opt/bellwether/bellwether:ro \
    --volume /opt/elasticbeanstalk/deployment:/opt/elasticbeanstalk/deployment:ro \
    "$image" /opt/bellwether/bellwether once --key auto --timeout 14m -- "${migrate[@]}"
