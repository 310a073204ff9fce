#!/usr/bin/env bash
# For a single container (Dockerfile or Dockerrun.aws.json): runs the migration of the new image once
# per version, before a container of it serves. Commands of .ebextensions run on the instance, where
# your application is not. 10_bellwether.sh has installed the program, and written the properties.
#
# What this prints is in /var/log/eb-hooks.log.
set -euo pipefail

# What Beanstalk calls the image that it has built or pulled for this version.
image=aws_beanstalk/staging-app
migrate=(./bin/migrate)

# By their names: the values are in the environment of this hook, and on no command line.
properties=()
while IFS= read -r -d '' pair; do
    properties+=(--env "${pair%%=*}")
done </etc/bellwether/properties

# The command is a child of bellwether in the same container: it ends with it, whatever happens.
exec docker run --rm --network host "${properties[@]}" \
    --volume /usr/local/bin/bellwether:/opt/bellwether/bellwether:ro \
    --volume /opt/elasticbeanstalk/deployment:/opt/elasticbeanstalk/deployment:ro \
    "$image" /opt/bellwether/bellwether once --key auto --timeout 14m -- "${migrate[@]}"
