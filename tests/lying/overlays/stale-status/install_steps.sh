# Leaves the status of an update behind that is over, well before the head comes.
docker service update --force --quiet "${STACK_NAME}_app"
