export RELEASE=1.1.0+1.27.4
