export RELEASE=1.1.0+1.27.4
export CANARY=$(touch "/tmp/abra.sh.$STACK_NAME")
touch "/tmp/abra.sh.$STACK_NAME"
