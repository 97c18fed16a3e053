mod fresh;
