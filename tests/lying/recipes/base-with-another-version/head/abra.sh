export RELEASE=1.2.0+1.27.4
