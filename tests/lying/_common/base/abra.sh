export RELEASE=1.0.0+1.27.4
